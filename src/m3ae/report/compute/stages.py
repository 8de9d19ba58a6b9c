"""Stages in the four groups that the chart of wall times tells apart."""

PRETRAIN = "pretrain"
GROUPS = {
    "pre-training": (PRETRAIN,),
    "features": ("features",),
    "evaluation of the figures": ("heldout", "probe", "ood", "concepts"),
}
BEYOND = "beyond the figures"


def group_of(stage: str) -> str:
    """The group of a stage: what is in no other one is beyond the figures."""
    return next((group for group, stages in GROUPS.items() if stage in stages), BEYOND)


def group_names() -> list[str]:
    """The groups in the order of the work."""
    return [*GROUPS, BEYOND]
