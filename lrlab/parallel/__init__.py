"""How runs share devices: the strategies, a mesh's axes, and the programs that they compile."""

from lrlab.parallel.mesh import Axes as Axes
from lrlab.parallel.program import Program as Program
from lrlab.parallel.program import compiled as compiled
from lrlab.parallel.program import looking as looking
from lrlab.parallel.strategy import NAMES as NAMES
from lrlab.parallel.strategy import Strategy as Strategy
from lrlab.parallel.strategy import strategy as strategy
