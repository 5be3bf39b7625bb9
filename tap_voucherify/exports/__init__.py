"""From an export request to files on disk.

`request` describes an export, `job` runs one, `resume` finds unfinished ones of an earlier run,
and `prefetch` runs the exports of all streams ahead of their reader.
"""
