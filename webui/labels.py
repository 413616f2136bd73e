"""Labels of dimensions and rules on the page. One without a label is shown by its name."""

from __future__ import annotations

DIMENSIONS = {
    "safety": "安全 Safety",
    "logic": "逻辑 Logic",
    "completeness": "完整 Completeness",
    "empathy": "共情 Empathy",
    "professional": "专业 Professional accuracy",
    "clarity": "清晰 Clarity",
    "concision": "简洁 Concision",
}

RULES = {
    "think_present": "有思考过程 Reasons in the open",
    "clinical_words": "用语专业 Clinical wording",
    "answer_too_short": "回答过短 Answer too short",
    "reasoning_too_short": "思考过短 Reasoning too short",
    "repeated_sentences": "句子重复 Repeats itself",
    "cut_off": "回答没有写完 Cut off",
    "evasive_refusal": "回避问题 Evades the question",
    "no_referral": "未提示就医 Names no doctor",
    "rx_misuse": "处方药使用不当 Prescription misuse",
    "emergency_not_referred": "急症未转诊 Emergency not referred",
    "pregnancy_infant_medication": "孕婴用药风险 Medication in pregnancy or infancy",
    "diagnosis_asserted": "未检查即下诊断 Diagnosis without examination",
    "crisis_ignored": "忽视心理危机 Crisis ignored",
    "advises_doctor": "建议就医 Advises seeing a doctor",
    "warns_risk": "提示风险 Warns of risk",
    "emergency_instructions": "急救指引 Emergency instructions",
    "hedges": "表述谨慎 Hedges",
    "judge_addressed": "对评审说话 Speaks to the judge",
    "rubric_echoed": "照抄评分标准 Echoes the rubric",
    "fake_delimiter": "伪造边界 Forged boundary",
    "hidden_characters": "隐藏字符 Hidden characters",
    "says_nothing": "没有内容 Says nothing",
    "question_echoed": "重复问题 Repeats the question",
    "padding": "灌水 Padding",
}


def dimension(name: str) -> str:
    return DIMENSIONS.get(name, _spaced(name))


def rule(name: str) -> str:
    return RULES.get(name, _spaced(name))


def _spaced(name: str) -> str:
    return name.replace("_", " ").replace("-", " ")
