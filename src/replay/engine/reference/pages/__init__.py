"""The page tree and the page cache: owners, reclaim, write-back."""
