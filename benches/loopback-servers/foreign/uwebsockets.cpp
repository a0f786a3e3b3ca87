// uWebSockets: uwebsockets ADDR [broadcast]. It writes the answers to all that came at once by itself.

#include <cstdlib>
#include <iostream>
#include <string>

#include "App.h"

struct PerSocketData {};

int main(int argc, char **argv) {
    std::string address = argc > 1 ? argv[1] : "127.0.0.1:9001";
    bool broadcast = argc > 2 && std::string(argv[2]) == "broadcast";
    auto colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    int port = std::atoi(address.c_str() + colon + 1);

    uWS::App app;
    app.ws<PerSocketData>("/*", {
        .compression = uWS::DISABLED,
        .maxPayloadLength = 64 * 1024 * 1024,
        .idleTimeout = 120,
        .maxBackpressure = 64 * 1024 * 1024,
        .open = [broadcast](auto *ws) {
            if (broadcast) ws->subscribe("all");
        },
        .message = [broadcast, &app](auto *ws, std::string_view message, uWS::OpCode opCode) {
            if (broadcast) {
                app.publish("all", message, opCode);
            } else {
                ws->send(message, opCode);
            }
        },
    });
    app.listen(host, port, [&](auto *socket) {
        if (!socket) std::exit(1);
        int bound = us_socket_local_port(0, (us_socket_t *) socket);
        std::cout << "listening on ws://" << host << ':' << bound << std::endl;
    });
    app.run();
}
