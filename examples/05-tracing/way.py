"""Print the steps of `rsq-pipe trace --json`: what a program can do with them."""

import json
import sys

for step in json.load(sys.stdin)["steps"]:
    print(f"{step['stage']:6} attempt {step['attempt']}  {step['outcome']:8}  {step['error']}".rstrip())
