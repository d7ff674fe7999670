"""LR range tests: one compiled scan over rising rates for all seeds, rules that read it, and short runs that choose."""

from lrlab.finder.experiment import find
from lrlab.finder.result import Choice, RangeTest, Trial
from lrlab.finder.rules import RULES
from lrlab.finder.step import range_test

__all__ = ["range_test", "find", "RangeTest", "Choice", "Trial", "RULES"]
