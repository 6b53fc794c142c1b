"""A page for a browser that shows this process's informers and their caches, while they run.

`page` answers requests, `state` reads the process, `cache` and `objects` read a cache, and `views` and `html` write HTML.
"""
