"""``keyed.uniforms`` for one sample, number by number: most crops need the first of ten attempts only."""

from collections.abc import Iterator

GOLDEN = 0x9E3779B97F4A7C15
BITS = 2**64 - 1


def draws(*parts: int) -> Iterator[float]:
    """The numbers that ``uniforms(count, *parts)`` gives for one sample, without an end."""
    key = 0
    for part in parts:
        key = mix((key + GOLDEN + part) & BITS)
    counter = key
    while True:
        counter = (counter + GOLDEN) & BITS
        yield (mix(counter) >> 11) * 2.0**-53


def mix(x: int) -> int:
    """The finaliser of splitmix64, of an integer below 2^64."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & BITS
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & BITS
    return x ^ (x >> 31)
