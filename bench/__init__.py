"""The side-by-side benchmark: Naru and its peers on loopback, the same content, the same load, in turns A B A B.

``python -m bench --help`` tells the options. How it is built, a module a thing:

- ``content`` what is stored before the clock starts; ``payload`` bytes to upload, every blob a new digest
- ``server`` a registry as a process; ``naru``, ``distribution``, ``zot`` the ones we know; ``seed_*`` fill them
- ``wire`` a small HTTP/1.1 client; ``rate`` requests a second; ``crew`` client processes; ``push`` what pushers do
- ``items_*`` the measurements P1, P2, ...; ``turns`` rounds and rows; ``report`` table, JSON, Markdown

It is no test: it asserts nothing about speed, and it ends with status 0 whether targets are met or missed.
"""
