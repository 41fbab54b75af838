//! A chat in the terminal: `cargo run --release --example chat -- [MODEL] [--system TEXT]`
//!
//! Ctrl-C stops the answer and not the program; `/clear` forgets the conversation, `/stats` tells what
//! each turn read and how long it took, `/help` the rest.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::sync::{Arc, Mutex};

use clap::Parser;
use sconce::generation::{CancelHandle, GenerationConfig, Timings};
use sconce::pipeline::{ChatSession, TextGenerationOptions};
use sconce::tokenizer::chat::Message;
use sconce::{Pipeline, QuantLevel};

#[derive(Parser)]
#[command(about = "Chat with a model in the terminal")]
struct Arguments {
    /// A Hub id, a folder (`./folder`) or a GGUF file
    #[arg(default_value = "HuggingFaceTB/SmolLM2-135M-Instruct")]
    model: String,
    /// Said to the model before the conversation
    #[arg(long)]
    system: Option<String>,
    /// Quantize while loading: q8_0, q4_k, …
    #[arg(long)]
    quantize: Option<QuantLevel>,
    /// The longest answer, in tokens
    #[arg(long, default_value_t = 512)]
    max_new_tokens: usize,
    /// 0 always gives the likeliest answer
    #[arg(long, default_value_t = 0.7)]
    temperature: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut builder = Pipeline::text_generation(arguments.model.as_str());
    if let Some(level) = arguments.quantize {
        builder = builder.quantize(level);
    }
    let pipeline = builder.build()?;
    let running = stop_answers_on_ctrl_c()?;

    let system: Vec<_> = arguments.system.iter().map(Message::system).collect();
    let mut chat = pipeline.chat_session();
    chat.set_messages(system.clone());
    let mut turns: Vec<Timings> = Vec::new();
    println!("Ask something. /help lists commands.");
    loop {
        print!("\n> ");
        stdout().flush()?;
        let mut line = String::new();
        if stdin().lock().read_line(&mut line)? == 0 {
            println!();
            return Ok(());
        }
        match line.trim() {
            "" => {}
            "/quit" | "/exit" => return Ok(()),
            "/help" => println!("/clear  /stats  /quit; Ctrl-C stops an answer"),
            "/clear" => {
                chat.set_messages(system.clone());
                turns.clear();
            }
            "/stats" if turns.is_empty() => println!("nothing was said yet"),
            "/stats" => {
                for (number, timings) in turns.iter().enumerate() {
                    println!("turn {}: {timings}", number + 1);
                }
            }
            command if command.starts_with('/') => println!("no command {command}; try /help"),
            question => match answer(&mut chat, question, &arguments, &running) {
                Ok(timings) => turns.push(timings),
                // Too long a conversation, say: the program goes on without the question.
                Err(error) => eprintln!("\n{error}"),
            },
        }
    }
}

/// Prints the answer as it comes; returns its timings.
fn answer(
    chat: &mut ChatSession,
    question: &str,
    arguments: &Arguments,
    running: &Mutex<Option<CancelHandle>>,
) -> Result<Timings, sconce::Error> {
    let config = GenerationConfig::default().max_new_tokens(arguments.max_new_tokens);
    let config = match arguments.temperature {
        0.0 => config.do_sample(false),
        temperature => config.do_sample(true).temperature(temperature),
    };
    let mut reply =
        chat.send_with([Message::user(question)], &TextGenerationOptions::from(config))?;
    set(running, Some(reply.cancel_handle()));
    for piece in &mut reply {
        print!("{}", piece?);
        let _ = stdout().flush();
    }
    set(running, None);
    println!();
    Ok(reply.timings())
}

/// What Ctrl-C cancels: the answer that is running; without one, the program ends.
fn stop_answers_on_ctrl_c() -> Result<Arc<Mutex<Option<CancelHandle>>>, ctrlc::Error> {
    let running = Arc::new(Mutex::new(None::<CancelHandle>));
    let shared = Arc::clone(&running);
    ctrlc::set_handler(move || match shared.lock() {
        Ok(running) if running.is_some() => running.iter().for_each(CancelHandle::cancel),
        _ => std::process::exit(130),
    })?;
    Ok(running)
}

fn set(running: &Mutex<Option<CancelHandle>>, handle: Option<CancelHandle>) {
    if let Ok(mut running) = running.lock() {
        *running = handle;
    }
}
