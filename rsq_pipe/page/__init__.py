"""The page: a server's pipelines in a browser, and the JSON API for the page and scripts."""
