"""Read blktrace recordings, binary or as blkparse prints them."""
