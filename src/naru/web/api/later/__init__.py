"""Published operations whose chapters are still to come: the document lists them, with their names and types; an answer
says that they are not available yet. Who may not do it is told so first, and a wrong request as well.

A module moves out of this package when its operations work.
"""

from naru.web.api.later import endpoints, replications, scans

MODULES = (scans, replications, endpoints)
