window.addEventListener("pageshow",e=>{e.persisted&&window.location.reload()});
