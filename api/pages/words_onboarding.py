"""Words of onboarding and of the merchants' register."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "onboarding.title": Text("进驻", "Onboarding"),
    "onboarding.lead": Text(
        "数据商提交材料，运营机构核查；逾期不视为通过",
        "Merchants hand in materials, the operator checks; silence never admits",
    ),
    "onboarding.new": Text("申请进驻", "Apply to enter"),
    "onboarding.none": Text("还没有进驻申请", "There are no onboarding applications"),
    "onboarding.none_next": Text(
        "提交进驻申请，核查通过后即可申请使用数据", "Apply; once admitted you can apply for data"
    ),
    "onboarding.none_next_operator": Text("等待数据商提交", "Merchants hand them in"),
    "onboarding.contact": Text("联系人", "Contact"),
    "onboarding.business": Text("业务介绍", "Business"),
    "onboarding.business_help": Text(
        "主营业务，以及打算用公共数据做什么", "What you do, and what you want public data for"
    ),
    "onboarding.materials": Text("进驻材料", "Materials"),
    "onboarding.materials_lead": Text(
        "填写每份材料的文件名；原件按协议约定的方式递交运营机构",
        "Give each material's file name; originals go to the operator as agreed",
    ),
    "onboarding.material_missing": Text("未提供", "missing"),
    "onboarding.save_draft": Text("保存草稿", "Save the draft"),
    "onboarding.save": Text("保存材料", "Save the materials"),
    "onboarding.admitted": Text("已准予进驻，可以申请使用数据", "Admitted: you can apply for data"),
    "onboarding.next_apply": Text("申请使用数据", "Apply for data"),
    "onboarding.returned": Text(
        "申请被退回，请按意见补正后重新提交", "Returned: complete it as asked and submit again"
    ),
    "onboarding.reason": Text("核查意见", "The operator's reason"),
    "merchant.title": Text("数据商", "Merchants"),
    "merchant.lead": Text(
        "已进驻的数据商及其状态；暂停后不能提交新的申请", "Admitted merchants; a suspended one cannot apply"
    ),
    "merchant.none": Text("还没有进驻的数据商", "No merchant has been admitted"),
    "merchant.none_next": Text("进驻申请通过核查后显示在这里", "They appear once admitted"),
    "merchant.since": Text("进驻时间", "Admitted"),
    "merchant.change": Text("变更状态", "Change"),
}
