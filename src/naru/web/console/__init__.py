"""The console: pages in Korean and English on the same services as the API. Loaded at the first request for one."""
