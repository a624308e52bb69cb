"""平台核心: business nouns, metadata database, lake, isolation. No web, no Prefect, no SDV."""
