import socket
from concurrent.futures import ThreadPoolExecutor


def receive(connection):
    return connection.recv(10)


left, right = socket.socketpair()
client = socket.socket()
with ThreadPoolExecutor() as pool:
    right.sendall(b"hi")
    print(pool.submit(receive, left).result(), pool.submit(client.fileno).result() > 0)
for each in (left, right, client):
    each.close()
