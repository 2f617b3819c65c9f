"""The pages of repairs: the list, one repair, a request, the units, the company.

They read and never decide: a form is sent to the gateway, which asks the writer and, when that
refuses, asks for the page again with what was typed and what was wrong. Every page is whole
without a script. Read `reading.py` first, then any page.
"""
