"""Names of persons in running text, on sentences written for this test. 【】 marks a name; every person is invented."""

from __future__ import annotations

import re

import pytest

from sandbox.detection import names, scan_text

SENTENCES = """
本次接访由【陈建国】同志主持，群众反映电梯老旧问题。
联系人【王小明】，请在工作日与其联系。
经核实，申请人【李秀兰】材料齐全，予以受理。
【张伟】与【刘洋】共同签署了租赁合同。
患者【赵桂芳】，女，六十八岁，因头晕三天入院。
网格员【周志强】上门走访，未见异常。
法定代表人【黄文华】已于上月变更为【林美玲】。
【吴海燕】来电咨询社保转移手续。
请【郑晓东】于三日内补交照片。
经办人【孙丽】、复核人【马俊杰】已签字。
业主【胡国庆】反映楼上漏水，物业已派人处理。
【朱婷婷】的居住证明天到期。
校长【高明远】介绍了学校的新食堂。
受害人【何静】情绪稳定，已联系家属【何建平】。
本案被告【罗永福】未到庭。
【梁雨欣】同学获得二等奖。
医生【宋志刚】开具了处方。
【谢芳】、【唐亮】和【韩雪】三人组成调解小组。
户主【冯玉珍】确认登记信息无误。
民警【于波】到达现场。
报告人【董卫东】认为方案可行。
【萧红梅】向街道办递交了申请。
【程浩然】说他从未收到通知。
投诉人【曹阳】要求退款。
驾驶员【袁志勇】驾车经过路口时减速。
新生儿【邓梓涵】的出生证明已办结。
【许文静】女士是该店的经营者。
记者采访了种粮大户【傅长顺】。
由【沈丽华】担任项目负责人。
【曾凡】称钥匙由邻居【彭小红】保管。
【欧阳明月】来自外地，现住云栖街道。
【司马文博】提交了补充说明。
【上官婉清】与【诸葛文涛】系夫妻。
【买买提·艾力】在市场经营干果摊。
【阿依古丽·买买提】申请了助学金。
【古丽娜尔·托合提】是社区的志愿者。
【扎西·多吉】到窗口咨询落户政策。
来访人【艾力·阿布都拉】表示满意。
【约翰·史密斯】持工作许可来办理居留。
外籍教师【玛丽亚·冈萨雷斯】参加了培训。
【乔治·威廉姆斯】的签证已经延期。
【安娜·伊万诺娃】在本市工作五年。
【白玛央金】从西部来此求学。
【其其格】在舞蹈学校任教。
【卓玛】为游客讲解。
【金顺姬】经营一家小饭馆。
示范市东湖区今日多云，气温回升。
请携带身份证原件和户口簿到窗口办理。
街道办事处组织了消防演练。
该企业主要从事电子产品的研发与销售。
第三号线因检修临时停运。
水费按季度收取，逾期加收滞纳金。
会议决定下周一继续讨论预算。
请各部门于月底前报送统计报表。
社区卫生服务中心周末照常接诊。
学校食堂实行明厨亮灶。
停车场共有三百个车位。
云栖街道完成了老旧小区改造。
雨天路滑，请注意安全。
垃圾分类知识讲座将于明日举行。
""".strip().splitlines()


def _marked(line: str) -> tuple[str, list[tuple[int, int]]]:
    text, spans, place = "", [], 0
    for match in re.finditer("【(.+?)】", line):
        text += line[place : match.start()]
        spans.append((len(text), len(text) + len(match[1])))
        text, place = text + match[1], match.end()
    return text + line[place:], spans


def _meets(left: tuple[int, int], right: tuple[int, int]) -> bool:
    return left[0] < right[1] and right[0] < left[1]


@pytest.fixture(scope="module")
def found() -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """For each sentence the labelled names and those the platform finds."""
    marked = [_marked(line) for line in SENTENCES]
    return [(spans, [(h.start, h.end) for h in scan_text(text, "t") if h.entity == "PERSON"]) for text, spans in marked]


def test_names_are_found_in_sentences(found: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]) -> None:
    labelled = sum(len(wanted) for wanted, _ in found)
    recalled = sum(any(_meets(w, g) for g in got) for wanted, got in found for w in wanted)
    told = sum(len(got) for _, got in found)
    right = sum(any(_meets(w, g) for w in wanted) for wanted, got in found for g in got)
    assert len(SENTENCES) == 60 and labelled >= 54
    assert recalled / labelled >= 0.9
    assert right / told >= 0.95


def test_sentences_without_a_person_name_nobody(
    found: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]],
) -> None:
    assert [got for wanted, got in found if not wanted and got] == []


def test_most_names_are_found_whole(found: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]) -> None:
    labelled = [(w, got) for wanted, got in found for w in wanted]
    assert sum(w in got for w, got in labelled) / len(labelled) >= 0.8


@pytest.mark.parametrize("name", ["买买提·艾力", "古丽娜尔·托合提", "约翰·史密斯", "玛丽亚·冈萨雷斯", "扎西·多吉"])
def test_names_with_a_dot_are_whole_cells(name: str) -> None:
    assert names.persons_and_organisations([name])[1]["PERSON"] == [0]
