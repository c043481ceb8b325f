"""From stored bytes to Arrow batches.

`sources` gives bytes, `formats` turns them into batches. `dump` and `dynamodb` are what a `DumpSource` can be, and
`reading` is how everybody else reads one.
"""
