//! The attribute `#[zx::main]`, which the crate `zx` passes on.

use proc_macro::{Ident, Span, TokenStream, TokenTree};

/// The name that the function gets: `main` itself is the host's, when a program is compiled for it.
const RENAMED: &str = "zx_main";

/// Makes a function the program: it begins there, and what the function returns is its exit code.
///
/// The function is called `main` and takes nothing, or a `&zx::Startup<'_>`; it returns nothing, an `i32`, or a
/// `Result` of one of them, whose error is printed.
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("#[zx::main] takes no arguments");
    }
    let Some(function) = renamed(item) else {
        return error("#[zx::main] stands before `fn main`");
    };
    format!("::zx::entry!({RENAMED});").parse().map_or_else(
        |_| TokenStream::new(),
        |entry: TokenStream| function.into_iter().chain(entry).collect(),
    )
}

/// The function with another name, if it is `fn main`. Its tokens keep their places, which errors name.
fn renamed(item: TokenStream) -> Option<TokenStream> {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let is = |token: &TokenTree, name: &str| matches!(token, TokenTree::Ident(ident) if ident.to_string() == name);
    let keyword = tokens.iter().position(|token| is(token, "fn"))?;
    let name = tokens
        .get_mut(keyword + 1)
        .filter(|token| is(token, "main"))?;
    *name = TokenTree::Ident(Ident::new(RENAMED, name.span()));
    Some(tokens.into_iter().collect())
}

/// A compile error at the attribute.
fn error(message: &str) -> TokenStream {
    let mut tokens: TokenStream = format!("::core::compile_error!({message:?});")
        .parse()
        .unwrap_or_default();
    tokens = tokens
        .into_iter()
        .map(|mut token| {
            token.set_span(Span::call_site());
            token
        })
        .collect();
    tokens
}
