//! What `cart.v1.Cart` is. Most say that in a `.proto` file, which takes `protoc` to read.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let method = |name: &str, route: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type("crate::Wanted")
            .output_type("crate::Items")
            .codec_path("tonic_prost::ProstCodec")
    };
    let cart = Service::builder()
        .package("cart.v1")
        .name("Cart")
        .method(method("get", "Get").build())
        .method(method("watch", "Watch").server_streaming().build())
        .build();
    Builder::new().compile(&[cart]);
}
