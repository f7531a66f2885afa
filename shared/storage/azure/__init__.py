"""Azure behind the ports: Service Bus, Blob Storage, Cosmos DB."""
