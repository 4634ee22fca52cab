"""Reading and writing pictures with all that belongs to them: depth, alpha, colour profile, metadata.

Other sizes are made by ``enlarged``, masks are read and shaped in ``mask``, reduced copies and captioned sheets to look
at are made by ``view`` and ``sheet``. No tensors, no networks and no choice of output names live here.
"""

from dfrestore.photo.encode import encode, encoding_bytes
from dfrestore.photo.enlarged import enlarged
from dfrestore.photo.formats import (
    FORMATS,
    READ_ONLY,
    WRITTEN_AS,
    format_of_content,
    format_of_path,
    is_candidate,
    is_unread,
    missing_extra,
    normal_format,
    read_only_format,
)
from dfrestore.photo.photo import Origin, Photo
from dfrestore.photo.read import MAX_PIXELS, check_beginning, decode, read, read_stream
from dfrestore.photo.write import atomic_write, make_folder, write

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "READ_ONLY",
    "WRITTEN_AS",
    "Origin",
    "Photo",
    "atomic_write",
    "check_beginning",
    "decode",
    "encode",
    "encoding_bytes",
    "enlarged",
    "format_of_content",
    "format_of_path",
    "is_candidate",
    "is_unread",
    "make_folder",
    "missing_extra",
    "normal_format",
    "read",
    "read_only_format",
    "read_stream",
    "write",
]
