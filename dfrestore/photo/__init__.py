"""Reading and writing pictures with all that belongs to them: depth, alpha, colour profile, metadata.

Reduced copies and captioned sheets to look at are made by ``view`` and ``sheet``. No tensors, no networks and no
choice of output names live here.
"""

from dfrestore.photo.encode import encode
from dfrestore.photo.formats import (
    FORMATS,
    RAW_HEIC,
    UNREAD,
    format_of_content,
    format_of_path,
    is_candidate,
    normal_format,
)
from dfrestore.photo.photo import Origin, Photo
from dfrestore.photo.read import MAX_PIXELS, decode, read
from dfrestore.photo.write import atomic_write, make_folder, write

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "RAW_HEIC",
    "UNREAD",
    "Origin",
    "Photo",
    "atomic_write",
    "decode",
    "encode",
    "format_of_content",
    "format_of_path",
    "is_candidate",
    "make_folder",
    "normal_format",
    "read",
    "write",
]
