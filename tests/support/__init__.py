"""What tests share, a file for each thing that they need.

`engines`: both implementations on the same columns, cases by hand. `strategies`: random
ones. `blktrace`: records as bytes. `oracle`: the pairing rules in plain Python.
`traces`: rows, batches, opened traces. `samples`: a small file of each format.
`results`: a raw result. `datasets`: batches in this process, and what must be equal.
`machines`: a machine of files, servers on loopback. `recordings`: a real kernel's.
`pages`: examples in documents, run.
"""
