#!/usr/bin/env python3
"""embed.py NAME FILE OUT: a C file that defines NAME and NAME_len with the bytes of FILE."""
import sys

name, source, out = sys.argv[1:]
with open(source, 'rb') as f:
    data = f.read()
with open(out, 'w', encoding='ascii') as f:
    f.write(f'#include <stddef.h>\n\nextern const unsigned char {name}[];\nextern const size_t {name}_len;\n')
    f.write(f'const size_t {name}_len = {len(data)};\nconst unsigned char {name}[] = {{\n')
    for i in range(0, len(data), 20):
        f.write('    ' + ', '.join(str(b) for b in data[i:i + 20]) + ',\n')
    f.write('};\n')
