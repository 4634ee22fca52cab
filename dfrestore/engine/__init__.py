"""Where and how a network runs on a whole picture: device and precision, a plan that fits the memory, execution.

Arrays come in, arrays and progress go out; the only file is the cache of measured speeds. No metadata of pictures and
no command line live here.
"""

from dfrestore.engine.device import Device, Precision, choose_device, choose_precision
from dfrestore.engine.memory import available_memory, give_back, is_out_of_memory, process_bytes
from dfrestore.engine.plan import Beside, Plan, free_memory, make_plan, smaller_plan, with_precision
from dfrestore.engine.run import Progress, Watch, restore_array
from dfrestore.engine.speed import WORTH_MEASURING, Speeds, amount

__all__ = [
    "WORTH_MEASURING",
    "Beside",
    "Device",
    "Plan",
    "Precision",
    "Progress",
    "Speeds",
    "Watch",
    "amount",
    "available_memory",
    "choose_device",
    "choose_precision",
    "free_memory",
    "give_back",
    "is_out_of_memory",
    "make_plan",
    "process_bytes",
    "restore_array",
    "smaller_plan",
    "with_precision",
]
