"""The fault matrix: what happens to running calls when something dies, stalls, lies.

Every call writes its start and its end to a ledger, a file outside of any server. After each row
the ledger is compared with the futures: nothing lost, nothing hung, nothing wrong, and no call
started more often than the row's faults explain. A run ends with a table of what was seen.

======  ============================================  =====================
row     fault                                         module
======  ============================================  =====================
1       children killed                               test_workers
2       a node's main process killed                  test_workers
3       a whole node frozen, and thawed               test_workers
4       frozen when it was handed a call, killed      test_workers
5, 6    the caller sleeps; vanishes                   test_callers
7, 8    the server killed; its data lost              test_server
9       the server frozen                             test_server
10      the server emptied                            test_server
11      a node, and the caller, cut off               test_network
12      answers lost, of each kind of command         test_every_command
13      a slow network                                test_network
14      the server's memory full                      test_server
16      the server's disk full                        test_server
17      wrong clocks                                  test_clocks
18, 19  out of memory; a call that ends its process   test_poison
22      a node that hears nothing                     test_network
23      many callers                                  test_callers
24      a node ended in five ways                     test_shutdowns
26      error, exit and crash at five places          test_crash_matrix
27      the k-th command fails, for every k           test_every_command
bits    bits turned round in frames                   test_every_command
28, 29  soaks: without a fault; with random ones      test_soak
======  ============================================  =====================

Rows 20 and 21 (foreign bytes, a million frames) are in ``tests/security``, row 25 (another version
of Python, of the wire) in ``tests/cluster``, row 15 (a server that may evict) in ``tests/store``.

Each row runs short in every run of the tests, and long in ``make test-full``; ``make soak`` runs
the last two alone.
"""
