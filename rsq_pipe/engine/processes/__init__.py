"""Several processes of one pipeline: started, watched, and given their parts."""
