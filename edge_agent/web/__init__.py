"""The browser's side: the page, the HTTP API, live view, and who may use them. Tornado is imported here only."""
