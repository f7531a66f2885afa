"""The whole app in Azure's place: real functions by the engine, real SDKs, the services stood for on loopback."""
