"""A client of NCR's public API v2.0 that was written from its guide: does a server answer as the guide says?

Drives operations over HTTP, by parts of the standard library alone, and compares every answer with the guide's table
(``../published.json``), name by name and type by type. A name that is missing, or that the guide does not have, is a
finding. By hand, against any address::

    THE_SECRET=... python -m tests.api.published --url http://127.0.0.1:5000 --appkey KEY --id ACCESSKEY \\
        --secret-from-env THE_SECRET

``story`` has the operations: one entry each, with calls that must succeed. What must be refused (no sign-in, another
appkey, a viewer who changes something, fields that are absent or of another type, pages and things that there are not)
follows from the guide's table for every entry.
"""
