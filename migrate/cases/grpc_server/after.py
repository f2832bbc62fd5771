from concurrent import futures

import grpc

server = grpc.server(futures.ThreadPoolExecutor(max_workers=10))
server.start()
