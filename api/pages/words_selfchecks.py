"""Words of self-checks."""

from __future__ import annotations

from policies.text import Text

WORDS: dict[str, Text] = {
    "check.title": Text("出域自查", "Self-checks"),
    "check.lead": Text(
        "与出域核查是同一套规则，只用仿真数据，不涉及真实数据；结论供修改参考，不代替出域核查",
        "The very rules of the export gate, on simulated data only; what it says helps to mend, the gate decides",
    ),
    "check.file": Text("要自查的文件", "file"),
    "check.file_help": Text("只保留结论，不保留文件", "Only the answer is kept, not the file"),
    "check.send": Text("自查", "Check"),
    "check.job": Text("先自查（仿真数据）", "Self-check first (simulated data)"),
    "check.own_file": Text("自查", "Check"),
    "check.all": Text("出域自查记录", "Self-checks"),
    "check.none": Text("还没有自查过", "Nothing checked yet"),
    "check.none_next": Text("上传一个文件，或在“真实数据运行”页对作业先自查", "Bring a file, or check a job first"),
    "check.what": Text("文件或作业", "File or job"),
    "check.outcome": Text("结论", "Outcome"),
    "check.waiting": Text("自查中：正在仿真数据上运行、证明并试算修改", "Running on simulated data and trying repairs"),
    "check.waiting_short": Text("自查中", "running"),
    "check.repairs": Text("试算过的修改", "Repairs that were tried"),
    "check.repairs_lead": Text(
        "每一项都已在仿真数据上重新运行、证明并核查；采用后生成改好的作业，再次自查",
        "Each was run, proved and judged anew on simulated data; taking one over checks the changed job again",
    ),
    "check.no_repairs": Text("没有试算出能改善结论的修改，请按上面的说明修改作业", "No change was found that helps"),
    "check.repair": Text("修改", "Repair"),
    "check.after": Text("改后结论", "Outcome after it"),
    "check.apply": Text("采用", "Apply"),
    "check.spec": Text("作业", "Job"),
    "check.run": Text("用真实数据运行这个作业", "Run this job on real data"),
    "check.changed_from": Text("由上一次自查的修改得到", "A repair of an earlier self-check"),
}
