"""Tell the reader of a result what was assumed, estimated or left out."""
