"""``/v2/`` and the token endpoint. Source: OCI distribution specification 1.1 and its main branch."""
