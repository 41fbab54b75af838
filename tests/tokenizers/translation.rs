//! Tokenizers of encoder-decoders, as `make_translation_tokenizers.py` lists them.

use std::fs;

use sconce::tokenizer::{BatchOptions, EncodeOptions, TextInput, Tokenizer, Truncation};
use serde_json::{Value, json};

use crate::golden::goldens;
use crate::stream;

#[test]
fn translation_tokenizers_are_read_as_transformers_reads_them() {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 25, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let tokenizer = match open(case) {
            Ok(tokenizer) => tokenizer,
            Err(error) => {
                wrong.push(format!("{}: {error}", case["name"]));
                continue;
            }
        };
        let expected = &case["expected"];
        let found = found(&tokenizer, &golden, case);
        for (key, expected) in expected.as_object().unwrap() {
            match key.as_str() {
                "texts" => {
                    for (index, one) in expected.as_array().unwrap().iter().enumerate() {
                        let mut found = found["texts"][index].clone();
                        if one.get("offsets").is_none() {
                            found.as_object_mut().unwrap().remove("offsets");
                        }
                        note(&mut wrong, case, &golden["texts"][index], &found, one);
                    }
                }
                "random" | "labels" | "translations" => {
                    for (index, one) in expected.as_array().unwrap().iter().enumerate() {
                        let place = json!([key, golden["texts"][index]]);
                        note(&mut wrong, case, &place, &found[key][index], one);
                    }
                }
                _ => note(&mut wrong, case, &json!(key), &found[key], expected),
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}

/// What the errors of wrong languages and folders name.
#[test]
fn errors_name_what_would_work() {
    let golden = golden();
    let case = |name: &str| {
        let cases = golden["cases"].as_array().unwrap();
        cases.iter().find(|case| case["name"] == name).unwrap().clone()
    };
    let tokenizer = |name: &str| open(&case(name)).unwrap();
    let says = |error: sconce::Error, parts: &[&str]| {
        assert!(error.is_caller_error(), "{error:?}");
        let error = error.to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let nllb = tokenizer("nllb-bpe");
    assert_eq!((nllb.languages().len(), nllb.languages()[0]), (202, "ace_Arab"));
    says(nllb.language_id("french").unwrap_err(), &["\"french\"", "fra_Latn", "more"]);
    says(nllb.with_languages(Some("xx"), None).unwrap_err(), &["src_lang", "ace_Arab"]);
    says(nllb.with_languages(None, Some("fra")).unwrap_err(), &["tgt_lang", "fra_Latn"]);
    says(nllb.for_translations(None).unwrap_err(), &["tgt_lang", "ace_Arab"]);
    let legacy = tokenizer("nllb-legacy");
    let ids = legacy.for_translations(None).unwrap().encode("x").unwrap().ids;
    assert_eq!(ids.last(), Some(&legacy.language_id("fra_Latn").unwrap()));
    let m2m100 = tokenizer("m2m100-fairseq-bpe");
    assert_eq!(m2m100.language_id("fr").unwrap(), m2m100.language_id("__fr__").unwrap());
    says(m2m100.forced_bos_id("fra_Latn").unwrap_err(), &["fr and 99 more"]);
    let marian = tokenizer("marian");
    assert_eq!(marian.languages(), [">>fra<<", ">>deu<<", ">>cmn_Hans<<"]);
    let told = marian.with_languages(None, Some("fra")).unwrap().encode("The house.").unwrap();
    assert_eq!(told.ids, marian.encode(">>fra<< The house.").unwrap().ids);
    assert_eq!(marian.forced_bos_id(">>fra<<").unwrap(), None);
    says(marian.with_languages(None, Some("spa")).unwrap_err(), &[">>fra<<, >>deu<<"]);
    let byt5 = tokenizer("byt5");
    assert!(byt5.languages().is_empty());
    says(byt5.with_languages(Some("en"), None).unwrap_err(), &["src_lang", "leave the option out"]);
    says(byt5.for_translations(Some("fr")).unwrap_err(), &["tgt_lang", "leave the option out"]);

    for (name, part) in
        [("marian", "source.spm"), ("m2m100-bare", "vocab.json"), ("mbart", "sentencepiece")]
    {
        let mut broken = case(name);
        broken["models"] = json!({});
        broken["files"].as_object_mut().unwrap().remove("vocab.json");
        let error = open(&broken).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let mut codes = case("plbart-multi");
    codes["files"]["tokenizer_config.json"]["language_codes"] = json!("all");
    assert!(open(&codes).unwrap_err().to_string().contains("base, multi"));
    let mut vocab = case("marian");
    vocab["files"]["vocab.json"].as_object_mut().unwrap().remove("<pad>");
    assert!(open(&vocab).unwrap_err().to_string().contains("pad_token"));
}

/// No bytes in place of a model make the reader panic or accept them silently.
#[test]
fn broken_models_are_errors() {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    let whole = fs::read(goldens().join("models/marian-source.model")).unwrap();
    let case = cases.iter().find(|case| case["name"] == "marian").unwrap();
    for (at, byte) in [(0, 0), (1, 255), (40, 0), (whole.len() / 2, 255), (whole.len() - 9, 128)] {
        for cut in [false, true] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes.truncate(if cut { at.max(1) } else { bytes.len() });
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in case["files"].as_object().unwrap() {
                fs::write(folder.path().join(name), content.to_string()).unwrap();
            }
            fs::write(folder.path().join("source.spm"), &bytes).unwrap();
            fs::write(folder.path().join("target.spm"), &whole).unwrap();
            if let Ok(tokenizer) = Tokenizer::open(folder.path()) {
                for text in golden["texts"].as_array().unwrap() {
                    let _ = tokenizer.encode(text.as_str().unwrap());
                }
            }
        }
    }
}

fn note(wrong: &mut Vec<String>, case: &Value, place: &Value, found: &Value, expected: &Value) {
    if found != expected {
        wrong
            .push(format!("{} {place}\n    found   {found}\n    expects {expected}", case["name"]));
    }
}

fn golden() -> Value {
    let text = fs::read_to_string(goldens().join("translation.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn open(case: &Value) -> sconce::Result<Tokenizer> {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in case["models"].as_object().unwrap() {
        let source = source.as_str().unwrap();
        let source =
            if source.contains('.') { source.to_owned() } else { format!("{source}.model") };
        fs::copy(goldens().join("models").join(source), folder.path().join(name)).unwrap();
    }
    for (name, content) in case["files"].as_object().unwrap() {
        fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    Tokenizer::open(folder.path())
}

fn found(tokenizer: &Tokenizer, golden: &Value, case: &Value) -> Value {
    let texts: Vec<_> =
        golden["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let named = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].into_iter().filter_map(|role| {
        let name = format!("{role}_token");
        let token = tokenizer.special_token(&name)?;
        Some((name, json!([token.content, token.id])))
    });
    let decoded = |ids: &[u32]| {
        [false, true].map(|skip| {
            let text = tokenizer.decode(ids, skip).unwrap();
            match stream(tokenizer, ids, skip) {
                streamed if streamed == text => text,
                streamed => format!("{text:?}, but streamed {streamed:?}"),
            }
        })
    };
    let encoded = texts.iter().map(|text| {
        let encoding = tokenizer.encode(text).unwrap();
        let characters = text.chars().count();
        assert!(encoding.offsets.iter().all(|&(start, end)| start <= end && end <= characters));
        let offsets: Vec<_> = encoding.offsets.iter().flat_map(|&(from, to)| [from, to]).collect();
        json!({"ids": encoding.ids, "decoded": decoded(&encoding.ids), "offsets": offsets})
    });
    let ids = |input: TextInput<'_>, options: &EncodeOptions| {
        tokenizer.encode_with(input, options).unwrap().ids
    };
    let options = EncodeOptions::default();
    let batch = tokenizer.encode_batch(&[texts[3], texts[7]], &BatchOptions::default()).unwrap();
    let random = case["expected"]["random"].as_array().unwrap().iter().map(|one| {
        let ids: Vec<u32> = serde_json::from_value(one[0].clone()).unwrap();
        let [plain, skipped] = decoded(&ids);
        json!([ids, plain, skipped])
    });
    let mut found = json!({
        "vocab": tokenizer.vocab_size(),
        "named": named.collect::<serde_json::Map<_, _>>(),
        "special_ids": tokenizer.special_ids(),
        "additional": tokenizer.additional_special_tokens().iter().map(|token| &token.content).collect::<Vec<_>>(),
        "max_length": tokenizer.model_max_length(),
        "texts": encoded.collect::<Vec<_>>(),
        "plain": ids(texts[4].into(), &options.clone().add_special_tokens(false)),
        "cut": ids(texts[7].into(), &options.clone().truncation(Truncation::to(6))),
        "padded": batch.encodings.iter().map(|row| row.ids.clone()).collect::<Vec<_>>(),
        "pair": ids((texts[3], texts[4]).into(), &options),
        "words": ids(TextInput::Words(&["Hello", "world", "", "maison"]), &options),
        "random": random.collect::<Vec<_>>(),
    });
    if let Some(pairs) = case["expected"].get("translations") {
        let pairs = pairs.as_array().unwrap().iter().map(|pair| {
            let (source, target) =
                (pair["source"].as_str().unwrap(), pair["target"].as_str().unwrap());
            let tokenizer = tokenizer.with_languages(Some(source), Some(target)).unwrap();
            let labels =
                tokenizer.for_translations(Some(target)).unwrap().encode(texts[7]).unwrap();
            json!({
                "source": source, "target": target, "ids": tokenizer.encode(texts[4]).unwrap().ids,
                "bos": tokenizer.forced_bos_id(target).unwrap(), "labels": labels.ids,
            })
        });
        found["translations"] = pairs.collect();
    } else {
        let target = tokenizer.for_translations(None).unwrap();
        found["labels"] = texts.iter().map(|text| target.encode(text).unwrap().ids).collect();
    }
    found
}
