"""The public API v2.0 (``/ncr/v2.0/appkeys/{appKey}``), one module a noun. Source: NCR's API guide."""
