"""From an export request to files on disk.

`request` describes an export and `job` runs one. `watch` tracks the status of all exports in
progress, `links` keeps links to files fresh, `resume` finds unfinished exports of an earlier run,
and `prefetch` has `workers` run the exports of all streams ahead of their reader.
"""
