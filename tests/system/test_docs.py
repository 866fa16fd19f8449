#!/usr/bin/env python3
"""The documents' generated parts are those of this binary; HTTP answers while an instance runs."""
import os, subprocess, sys

root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.exit(subprocess.run([sys.executable, os.path.join(root, "scripts/docs.py"), "--check"]).returncode)
