"""The fault matrix: what happens to running calls when something dies, stalls, lies.

Every call writes its start and its end to a ledger, a file outside of any server. After each row
the ledger is compared with the futures: nothing lost, nothing hung, nothing wrong, and no call
started more often than the row's faults explain. A run ends with a table of what was seen.

====  ==========================================  ==============================================
row   fault                                       where
====  ==========================================  ==============================================
1     children killed                             test_workers
2     a node's main process killed                test_workers
3     a whole node frozen, and thawed             test_workers
4     frozen while it waits for calls, killed     test_workers
7     the server killed, its data kept            test_server
8     the server killed, its data lost            test_server
9     the server frozen                           test_server
10    the server emptied                          test_server
====  ==========================================  ==============================================
"""
