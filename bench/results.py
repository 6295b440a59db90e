"""RESULTS.md: one section for each part of the benchmark, with when and with what it was measured. A part that is measured
alone replaces its own section; sections that no part writes are somebody's words and stay where they are. What is missed
is gathered from all of them."""
import os
import re

MISSED = 'What is missed'


def read(path):
    """[(title, text)]; the first title is empty: what stands before any section"""
    if not os.path.exists(path):
        return [('', '# Results')]
    with open(path, encoding='utf-8') as f:
        pieces = re.split(r'^## (.*)\n', f.read(), flags=re.MULTILINE)
    return [('', pieces[0].strip())] + [(pieces[i], pieces[i + 1].strip()) for i in range(1, len(pieces), 2)]


def missed(sections):
    """Rows whose last column says so."""
    found = []
    for title, text in sections:
        for line in text.splitlines():
            cells = [c.strip() for c in line.split('|')]
            if title != MISSED and len(cells) > 3 and re.match(r'missed|undecided|\*\*not', cells[-2]):
                found.append(f'- {cells[1]}: {cells[-2]}' + (f' ({cells[2]})' if cells[2] else ''))
    return '\n'.join(found) or 'Nothing.'


def put(path, title, text):
    """Writes the section into its place, or behind the others."""
    sections = read(path)
    titles = [t for t, _ in sections]
    for name, words in ((title, text), (MISSED, '')):
        if name in titles:
            sections[titles.index(name)] = (name, words)
        else:
            at = 1 if name == MISSED else len(sections)
            sections.insert(at, (name, words))
            titles.insert(at, name)
    sections[titles.index(MISSED)] = (MISSED, missed(sections))
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n\n'.join((f'## {t}\n\n' if t else '') + words for t, words in sections).rstrip() + '\n')
