"""The pages of repairs: the list, one repair, a request, the units, the company.

They read and never decide: a form goes to the gateway, which sends a command to the writer.
When the writer rejects it, the gateway requests the page again, with the input and the errors.
Every page is complete without a script. Read `reading.py` first, then any page.
"""
