"""Which statements run all the time, which index is each meant to use, and how many pages may a row cost?

The engine's and the readers' own text constants, with parameters for a sample of the tenant that has the most. `pages` is the bound on buffers per row returned
(or written): a page per index level, the row itself, and, where rows are written, their new versions and index entries. It holds for tables of any size.
"""
