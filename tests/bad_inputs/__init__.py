"""Bad inputs, and the answer that each deserves: never a hang, never a dead worker.

Rows of the same meaning stand once, with the properties:

================================  ==================================================================
input                             test
================================  ==================================================================
maps of unequal lengths           `properties.test_map`
causes, notes, groups             `properties.test_errors`
``async def`` given to submit     `properties.test_asyncio`
submit at interpreter exit        `properties.test_exits`
Ctrl-C in the caller              `properties.test_exits`
an executor in a forked child     `properties.test_lifetimes`
a pickled executor                `properties.test_types`
callbacks that raise or block     `properties.test_callbacks`
cancel, and mixed waits           `properties.test_cancel`
================================  ==================================================================
"""
