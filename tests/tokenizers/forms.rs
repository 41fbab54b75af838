//! Every form of `tokenizer.json` and of the files beside it, as `make_tokenizer_forms.py` lists them.

use std::fs;

use sconce::batch::PaddingSide;
use sconce::tokenizer::BatchOptions;
use sconce::tokenizer::EncodeOptions;
use sconce::tokenizer::TextInput;
use sconce::tokenizer::Tokenizer;
use sconce::tokenizer::Truncation;
use sconce::tokenizer::chat::ChatOptions;
use sconce::tokenizer::chat::Message;
use serde_json::Value;
use serde_json::json;

use crate::golden::goldens;

#[test]
fn forms_of_every_age_are_read_as_transformers_reads_them() {
    let text = fs::read_to_string(goldens().join("forms.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let forms = golden["forms"].as_array().unwrap();
    assert!(forms.len() > 190, "only {} forms", forms.len());
    let wrong: Vec<_> = forms.iter().filter_map(|form| differs(form, &golden)).collect();
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), forms.len(), wrong.join("\n"));
}

/// What is found and what is expected, where they differ.
fn differs(form: &Value, golden: &Value) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut json = golden["bases"][form["base"].as_str().unwrap()].clone();
    for (pointer, value) in form["change"].as_object().unwrap() {
        change(&mut json, pointer, value);
    }
    fs::write(folder.path().join("tokenizer.json"), json.to_string()).unwrap();
    for (name, content) in form["files"].as_object().unwrap() {
        fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let mut expected = form["expected"].clone();
    let found = match Tokenizer::open(folder.path()) {
        Ok(tokenizer) => found(&tokenizer, golden, &expected),
        Err(error) if expected.is_null() => {
            assert!(error.to_string().contains("json"), "{error}");
            Value::Null
        }
        Err(error) => Value::from(error.to_string()),
    };
    if let Some(index) = expected["texts"].as_u64() {
        expected["texts"] = golden["encoded"][index as usize].clone();
    }
    if found == expected {
        return None;
    }
    let parts = expected.as_object().into_iter().flatten();
    let wrong = parts.filter(|(key, value)| found.get(key) != Some(value));
    let told: Vec<_> = wrong
        .map(|(key, value)| {
            format!(
                "  {key}\n    found   {}\n    expects {value}",
                found.get(key).unwrap_or(&found)
            )
        })
        .collect();
    Some(format!(
        "{}: {}",
        form["name"],
        if told.is_empty() { format!("{found}") } else { told.join("\n") }
    ))
}

fn found(tokenizer: &Tokenizer, golden: &Value, expected: &Value) -> Value {
    let named = expected["named"].as_object().into_iter().flatten().map(|(name, _)| {
        let token = tokenizer.special_token(name);
        (name.clone(), token.map(|token| json!([token.content, token.id])).into())
    });
    let classic =
        ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map(|role| format!("{role}_token"));
    let classic = classic.iter().filter_map(|name| {
        let token = tokenizer.special_token(name)?;
        Some((name.clone(), json!([token.content, token.id])))
    });
    let side = |side| match side {
        PaddingSide::Left => "left",
        PaddingSide::Right => "right",
    };
    let texts = golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    let texts: Vec<_> = texts.collect();
    let flat = |offsets: &[(usize, usize)]| {
        offsets.iter().flat_map(|&(from, to)| [from, to]).collect::<Vec<_>>()
    };
    let encoded = texts.iter().map(|text| {
        let encoding = tokenizer.encode(text).unwrap();
        let decode = |skip| tokenizer.decode(&encoding.ids, skip).unwrap();
        json!({"ids": encoding.ids, "offsets": flat(&encoding.offsets), "decoded": decode(false), "skipped": decode(true)})
    });
    let mut found = json!({
        "vocab": tokenizer.vocab_size(),
        "named": named.chain(classic).collect::<serde_json::Map<_, Value>>(),
        "additional": tokenizer.additional_special_tokens().iter().map(|token| &token.content).collect::<Vec<_>>(),
        "special_ids": tokenizer.special_ids(),
        "sides": [side(tokenizer.padding_side()), side(tokenizer.truncation_side())],
        "max_length": tokenizer.model_max_length(),
        "types": tokenizer.returns_type_ids(),
        "texts": encoded.collect::<Vec<_>>(),
    });
    let options = ChatOptions::default().template(golden["chat"].as_str().unwrap());
    found["chat"] = tokenizer.apply_chat_template(&[Message::user("")], &options).unwrap().into();
    let plain = EncodeOptions::default();
    if expected.get("pair").is_some() {
        let pair = tokenizer.encode_with((texts[0], texts[1]), &plain).unwrap();
        found["pair"] = json!([pair.ids, pair.type_ids]);
    }
    let cut = plain.clone().truncation(Truncation::to(6));
    found["cut"] = tokenizer.encode_with(texts[0], &cut).unwrap().ids.into();
    if tokenizer.pad_token().is_some() {
        let batch = tokenizer.encode_batch(&["he", texts[0]], &BatchOptions::default()).unwrap();
        found["padded"] = batch.encodings.iter().map(|row| row.type_ids.clone()).collect();
        if !tokenizer.returns_type_ids() {
            assert!(batch.tokens.type_ids().iter().all(|&id| id == 0));
        }
    }
    found["words"] = match tokenizer.refuses_words() {
        true => Value::Null,
        false => {
            let words = TextInput::Words(&["he", "world", "中", "it"]);
            tokenizer.encode_with(words, &plain).unwrap().ids.into()
        }
    };
    found
}

/// Sets what a JSON pointer names; `null` takes it away.
fn change(json: &mut Value, pointer: &str, value: &Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match json.pointer_mut(parent).unwrap() {
        Value::Array(list) => {
            let at: usize = last.parse().unwrap();
            list.splice(at..list.len().min(at + 1), [value.clone()]);
        }
        Value::Object(fields) if value.is_null() => drop(fields.remove(last)),
        parent => parent[last] = value.clone(),
    }
}
