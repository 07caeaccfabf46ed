"""Token ids on disk, and the batches that training draws from them."""
