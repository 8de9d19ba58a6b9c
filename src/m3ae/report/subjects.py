"""Tasks and pairs as people write them: `cifar100-cifar10` is "CIFAR-100 against CIFAR-10"."""

WORDS = {
    "imagenet": "ImageNet",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "svhn": "SVHN",
    "mnist": "MNIST",
    "heldout": "held-out digits",
}


def task(name: str) -> str:
    """A task's name; one that is not known stays as the run calls it."""
    return WORDS.get(name, name)


def sides(pair: str) -> tuple[str, str]:
    """What a pair calls in-distribution, and what out."""
    inside, _, outside = pair.partition("-")
    return task(inside), task(outside)


def subject(name: str) -> str:
    """A task, or a pair: what is in against what is out."""
    return " against ".join(sides(name)) if "-" in name else task(name)
