"""The vocabulary that every part of Galen shares. It imports nothing else of Galen's."""

DISCLAIMER_ZH = "本系统仅供研究与学习，不构成诊断或治疗建议；如遇紧急情况请立即就医或拨打 120。"
DISCLAIMER_EN = (
    "For research and learning only, never a diagnosis. In an emergency see a doctor at once."
)
