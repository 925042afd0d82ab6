"""The page: the pipelines of a server in a browser, and the JSON API that page and scripts use."""
