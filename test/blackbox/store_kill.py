#!/usr/bin/env python3
# test: seconds 240
"""A few rounds of soak/store_kill.py."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
os.execv(sys.executable, [sys.executable, os.path.join(HERE, "..", "soak", "store_kill.py"), "10"])
